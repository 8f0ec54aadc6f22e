// Browsers start no Worker from file://, so the search would be missing where the site is a folder. There, this runs
// the worker's script in a hidden frame, and carries messages to and fro.
if (location.protocol === "file:") {
  const later = (task) => setTimeout(task, 0); // a worker never answers in the middle of an event

  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.inside = frame.contentWindow;
      this.frame = frame;
      this.inside.postMessage = (data) => later(() => this.tell("message", { data: structuredClone(data) }));
      this.inside.importScripts = (...urls) => Promise.all(urls.map((each) => this.load(each)));
      this.ready = this.load(url);
      this.ready.catch(() => this.tell("error"));
    }

    tell(kind, init) {
      const event = new MessageEvent(kind, init);
      this.dispatchEvent(event);
      this[`on${kind}`]?.(event);
    }

    load(url) {
      return new Promise((resolve, reject) => {
        const script = this.inside.document.createElement("script");
        script.src = new URL(url, location.href).href;
        script.onload = resolve;
        script.onerror = reject;
        this.inside.document.head.append(script);
      });
    }

    postMessage(data) {
      const copy = structuredClone(data);
      const arrive = () => this.inside.dispatchEvent(new this.inside.MessageEvent("message", { data: copy }));
      this.ready.then(() => later(arrive), () => {});
    }

    terminate() {
      this.frame.remove();
    }
  };
}
