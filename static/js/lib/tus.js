/* tus 1.0 client: sends a file in pieces, goes on after a cut line, a pause or a reload (the address is remembered by
   name + size + date of the file). send(file, {endpoint, metadata, chunkBytes, onProgress, onState}) → {done, pause,
   resume, cancel}; done resolves with the page of the upload (header Upload-Page) or null. */

import { csrfToken } from "./request.js";

const VERSION = { "Tus-Resumable": "1.0.0" };
const WAITS_MS = [500, 1000, 2000, 5000, 10000, 20000, 30000];

export function fingerprint(file) {
  return `upload:${file.name}:${file.size}:${file.lastModified}`;
}

export function send(file, { endpoint, metadata = {}, chunkBytes = 8 * 2 ** 20, onProgress, onState }) {
  const key = fingerprint(file);
  const state = { paused: false, cancelled: false, xhr: null, wake: null, url: null };
  const say = (word, text = "") => onState?.(word, text);

  async function run() {
    let failures = 0;
    let offset = null;
    for (;;) {
      if (state.cancelled) throw new Error("cancelled");
      if (state.paused) {
        say("paused");
        await sleep(state, Infinity);
        offset = null;
        continue;
      }
      try {
        if (offset === null) offset = await begin();
        say("sending");
        onProgress?.(offset);
        if (offset >= file.size) return finished();
        const piece = file.slice(offset, offset + chunkBytes);
        offset = await patch(state, piece, offset, onProgress);
        failures = 0;
        if (offset >= file.size) return finished();
      } catch (error) {
        if (state.cancelled || state.paused) continue;
        if (error.isFinal) {
          forget(key);
          throw error;
        }
        offset = null; // ask the server how much it has
        const wait = WAITS_MS[Math.min(failures, WAITS_MS.length - 1)];
        failures += 1;
        say("waiting", `${error.status ? error.message.replace(/\.$/, "") : "The line is cut"}; trying again in ${Math.ceil(wait / 1000)} s`);
        await sleep(state, wait);
      }
    }
  }

  /* The offset to go on from: that of the upload begun earlier, else 0 of a new one. */
  async function begin() {
    state.url ??= remembered(key);
    if (state.url) {
      const head = await ask("HEAD", state.url, VERSION);
      if (head.ok) {
        state.page = head.headers.get("Upload-Page");
        return Number(head.headers.get("Upload-Offset"));
      }
      if (head.status !== 404 && head.status !== 410 && head.status !== 403) throw await refusal(head);
      forget(key);
      state.url = null;
    }
    const created = await ask("POST", endpoint, { ...VERSION, "Upload-Length": String(file.size), "Upload-Metadata": encoded(metadata) });
    if (!created.ok) throw await refusal(created);
    state.url = new URL(created.headers.get("Location"), location.href).href;
    state.page = created.headers.get("Upload-Page") ?? null;
    remember(key, state.url);
    return 0;
  }

  function finished() {
    forget(key);
    say("done");
    return state.page ?? null;
  }

  return {
    done: run(),
    pause() {
      state.paused = true;
      state.xhr?.abort();
      state.wake?.();
    },
    resume() {
      state.paused = false;
      state.wake?.();
    },
    async cancel() {
      state.cancelled = true;
      state.xhr?.abort();
      state.wake?.();
      forget(key);
      if (state.url) await ask("DELETE", state.url, VERSION).catch(() => {});
    },
  };
}

function patch(state, piece, offset, onProgress) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    state.xhr = xhr;
    xhr.open("PATCH", state.url);
    for (const [name, value] of Object.entries(VERSION)) xhr.setRequestHeader(name, value);
    xhr.setRequestHeader("Content-Type", "application/offset+octet-stream");
    xhr.setRequestHeader("Upload-Offset", String(offset));
    xhr.setRequestHeader("X-CSRF-Token", csrfToken());
    xhr.upload.onprogress = (event) => onProgress?.(offset + event.loaded);
    xhr.onerror = xhr.onabort = xhr.ontimeout = () => reject(new Error("cut"));
    xhr.onload = () => {
      state.page = xhr.getResponseHeader("Upload-Page") ?? state.page;
      if (xhr.status >= 200 && xhr.status < 300) resolve(Number(xhr.getResponseHeader("Upload-Offset")));
      else reject(judged(xhr.status, messageIn(xhr.responseText)));
    };
    xhr.send(piece);
  });
}

function ask(method, url, headers) {
  return fetch(url, { method, credentials: "same-origin", headers: { ...headers, "X-CSRF-Token": csrfToken() } });
}

async function refusal(response) {
  return judged(response.status, messageIn(await response.text().catch(() => "")));
}

/* 409 (other offset), 423 (another tab writes), 429 and faults of the server are tried again; the rest is an answer. */
function judged(status, message) {
  const error = Object.assign(new Error(message || `The server answered ${status}`), { status });
  error.isFinal = status >= 400 && status < 500 && ![404, 408, 409, 410, 423, 429].includes(status);
  return error;
}

function messageIn(text) {
  try {
    return JSON.parse(text).error?.message ?? "";
  } catch {
    return text.length < 300 && !text.includes("<") ? text.trim() : "";
  }
}

function encoded(metadata) {
  const base64 = (text) => btoa(String.fromCodePoint(...new TextEncoder().encode(text)));
  return Object.entries(metadata).map(([name, value]) => `${name} ${base64(value)}`).join(",");
}

function sleep(state, ms) {
  return new Promise((resolve) => {
    const timer = ms === Infinity ? null : setTimeout(resolve, ms);
    state.wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}

function remembered(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function remember(key, url) {
  try {
    localStorage.setItem(key, url);
  } catch {
    /* then a reload starts the upload anew */
  }
}

function forget(key) {
  try {
    localStorage.removeItem(key);
  } catch {
    /* nothing was remembered */
  }
}
