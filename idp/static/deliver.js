// Sends the token on, together with the fragment of the page that was asked for, which no server ever sees.
// Without scripts the person presses the button instead.
const form = document.getElementById("deliver");
form.setAttribute("action", form.getAttribute("action") + location.hash);
HTMLFormElement.prototype.submit.call(form); // not form.submit: a service may name its parameter so
