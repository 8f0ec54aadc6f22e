// Sends the token on. Without scripts the person presses the button instead.
document.getElementById("deliver").submit();
