// A page that was opened from a disk may not start a worker, and the search is one.  There it runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.documentElement.append(this.frame);
      this.inside = this.frame.contentWindow;
      this.inside.postMessage = (data) => this.tell(this, data);
      this.inside.importScripts = (...urls) =>
        urls.reduce((before, each) => before.then(() => this.load(each)), Promise.resolve());
      this.load(new URL(url, document.baseURI)).then(() => {
        const waiting = this.waiting;
        this.waiting = null;
        waiting.forEach((data) => this.tell(this.inside, data));
      });
    }

    postMessage(data) {
      this.waiting ? this.waiting.push(data) : this.tell(this.inside, data);
    }

    terminate() {
      this.frame.remove();
    }

    set onmessage(listener) {
      this.addEventListener("message", listener);
    }

    tell(target, data) {
      target.dispatchEvent(new (target === this ? MessageEvent : this.inside.MessageEvent)("message", { data }));
    }

    load(url) {
      return new Promise((done, fail) => {
        const script = this.inside.document.createElement("script");
        Object.assign(script, { src: url, onload: done, onerror: fail });
        this.inside.document.documentElement.append(script);
      });
    }
  };
}
