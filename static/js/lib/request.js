/* fetch with the CSRF token; a refusal becomes an Error with .status, .code and .fields. */

export function csrfToken() {
  return document.querySelector('meta[name="csrf-token"]')?.content ?? "";
}

export async function request(url, options = {}) {
  const method = (options.method ?? "GET").toUpperCase();
  const headers = new Headers(options.headers);
  if (method !== "GET" && method !== "HEAD") headers.set("X-CSRF-Token", csrfToken());
  let body = options.body;
  if (options.json !== undefined) {
    headers.set("Content-Type", "application/json");
    body = JSON.stringify(options.json);
  }
  const response = await fetch(url, { ...options, method, headers, body, credentials: "same-origin" });
  if (!response.ok) throw await refusal(response);
  return response;
}

export async function getJson(url, options = {}) {
  const headers = { Accept: "application/json", ...options.headers };
  return (await request(url, { ...options, headers })).json();
}

async function refusal(response) {
  let told = {};
  try {
    told = (await response.clone().json()).error ?? {};
  } catch {
    /* not JSON; the status says enough */
  }
  const error = new Error(told.message ?? `The server answered ${response.status} ${response.statusText}`);
  return Object.assign(error, { status: response.status, code: told.code, fields: told.fields ?? {} });
}
