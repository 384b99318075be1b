// Asking the service.

const KEY = "key";

/** What the service said when it could not answer. */
export class Problem extends Error {
  constructor(status, title, detail) {
    super(detail || title);
    this.status = status;
    this.title = title;
  }
}

/** A path under /v1, each part of it encoded. */
export const path = (...parts) => `/v1/${parts.map(encodeURIComponent).join("/")}`;

/** What GET answers. */
export async function get(address, parameters = {}, signal = undefined) {
  const query = new URLSearchParams(parameters).toString();
  return (await asked(query ? `${address}?${query}` : address, { signal })).json();
}

/** What POST answers. */
export async function post(address, body, signal = undefined) {
  return (await asked(address, asJson(body, signal))).json();
}

/** What POST answers line by line, each a JSON text, as they come. */
export async function* postForLines(address, body, signal = undefined) {
  const response = await asked(address, asJson(body, signal));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

const asJson = (body, signal) => ({
  method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" }, signal,
});

async function asked(address, options) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  let response;
  try {
    response = await fetch(address, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "No answer", "The service does not answer: is it still running?");
  }
  if (response.status === 401) {
    await askForKey();
    return asked(address, options);
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new Problem(response.status, problem.title ?? response.statusText, problem.detail);
}

let asking = null;

// One dialog, however many requests wait for the key.
function askForKey() {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("key");
    const value = document.getElementById("key-value");
    value.value = "";
    dialog.addEventListener(
      "close",
      () => {
        sessionStorage.setItem(KEY, value.value.trim());
        asking = null;
        resolve();
      },
      { once: true },
    );
    dialog.showModal();
  });
  return asking;
}
