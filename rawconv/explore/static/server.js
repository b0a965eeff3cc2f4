// Asking the server.  It answers JSON; a newer question of a kind takes the place of an older one.

const PAGE = Math.random().toString(36).slice(2, 8); // this page among all that are open
const asked = new Map(); // kind: AbortController of its last question
const listeners = [];
let there = true, trying = null;

/** What the server refuses, in its own sentence. */
export class Refused extends Error {}

/** A newer question took the place of this one: nobody waits for its answer. */
export class Replaced extends Error {}

/** Call `listener(there)` when the server goes and when it is back. */
export const onConnection = (listener) => listeners.push(listener);

/** Ask for JSON.  body: what is posted, an object or a Blob; kind: at most one question of it is under way. */
export async function ask(address, body, { kind, headers = {} } = {}) {
  const answer = await send(address, body, kind, headers);
  const said = await answer.json().catch(notJson);
  if (answer.status === 409 && said.error === "replaced") throw new Replaced();
  if (said.error) throw new Refused(said.error);
  return said;
}

function notJson(error) {
  if (error.name === "AbortError") throw new Replaced();
  return { error: "The server's answer can not be read." };
}

/** The same for an answer that is read line by line or saved as a file: the Response. */
export async function send(address, body, kind, headers = {}) {
  const control = new AbortController();
  if (kind) {
    asked.get(kind)?.abort();
    asked.set(kind, control);
    headers = { ...headers, "X-Slot": `${PAGE}/${kind}` };
  }
  try {
    const answer = await fetch(address, { signal: control.signal, ...posted(body, headers) });
    tell(true);
    return answer;
  } catch {
    if (control.signal.aborted) throw new Replaced();
    tell(false);
    throw new Refused("The server does not answer.");
  }
}

function posted(body, headers) {
  if (body === undefined) return { headers };
  if (body instanceof Blob) return { method: "POST", body, headers };
  return { method: "POST", body: JSON.stringify(body), headers: { ...headers, "Content-Type": "application/json" } };
}

// ------------------------------------------------------------------------------------------ gone and back

function tell(now) {
  if (now === there) return;
  there = now;
  if (!there) retry(500);
  for (const listener of listeners) listener(there);
}

/** Ask again, less and less often, until it answers. */
function retry(wait) {
  clearTimeout(trying);
  trying = setTimeout(async () => {
    try {
      await fetch("/api/net");
      tell(true);
    } catch {
      retry(Math.min(5000, wait * 1.5));
    }
  }, wait);
}
