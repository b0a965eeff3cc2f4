// The search takes a word that begins with a dash for one that no page may have.  Options of commands begin with two:
// --layer is looked for as the word layer.
const post = Worker.prototype.postMessage;
Worker.prototype.postMessage = function (message, ...others) {
  const asked = typeof message?.data === "string";
  const words = asked && { ...message, data: message.data.replace(/(^|\s)--+(?=[^\s-])/g, "$1") };
  return post.call(this, asked ? words : message, ...others);
};
