/* Sends chosen or dropped files resumably (lib/tus.js). Without JavaScript the form is a plain multipart POST.
   <form class="drop" method="post" action="/uploads" enctype="multipart/form-data" data-behavior="upload"
         data-endpoint="/uploads/tus" data-next="/uploads">
     …csrf… <input type="file" name="file" required> <input name="name"> <button class="no-js">Upload</button>
     <div data-upload-list></div>            the running transfers appear here
   data-endpoint    tus creation: POST → 201 Location: /uploads/tus/<token>, Upload-Page: /uploads/<id>
   data-next        where to go when all is sent and there is no single page (default: reload)
   data-chunk-bytes size of a PATCH (default 8 MiB)
   The metadata sent: filename, name (the field `name` if filled), filetype. HEAD and PATCH answer Upload-Offset, and
   Upload-Page where the upload can be looked at. A file chosen again after a reload goes on where it stopped. */

import { formatBytes, formatDuration } from "../lib/format.js";
import { send } from "../lib/tus.js";

export function connect(form) {
  const input = form.querySelector('input[type="file"]');
  const list = form.querySelector("[data-upload-list]") ?? form.appendChild(document.createElement("div"));
  const active = new Set();
  const pages = [];

  async function start(file) {
    const name = form.elements.name?.value.trim() ?? "";
    const row = list.appendChild(transferRow(file));
    const meter = rateMeter();
    const transfer = send(file, {
      endpoint: form.dataset.endpoint,
      chunkBytes: Number(form.dataset.chunkBytes) || undefined,
      metadata: { filename: file.name, filetype: file.type, ...(name && { name }) },
      onProgress: (sent) => row.progress(sent, meter(sent)),
      onState: row.state,
    });
    active.add(transfer);
    row.onPause = (paused) => (paused ? transfer.pause() : transfer.resume());
    row.onCancel = () => transfer.cancel();
    try {
      pages.push(await transfer.done);
    } catch (error) {
      if (error.message === "cancelled") row.remove();
      else row.fail(error.message);
    } finally {
      active.delete(transfer);
    }
    if (active.size === 0 && pages.length > 0 && !list.querySelector(".error")) leave();
  }

  function leave() {
    const page = pages.length === 1 ? pages[0] : null;
    location.assign(page ?? form.dataset.next ?? location.href);
  }

  function take(files) {
    for (const file of files) start(file);
    input.value = "";
  }

  input.addEventListener("change", () => take([...input.files]));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.files.length) take([...input.files]);
  });
  form.addEventListener("dragover", (event) => {
    event.preventDefault();
    form.dataset.over = "";
  });
  form.addEventListener("dragleave", (event) => {
    if (!form.contains(event.relatedTarget)) delete form.dataset.over;
  });
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    delete form.dataset.over;
    take([...event.dataTransfer.files]);
  });
  addEventListener("beforeunload", (event) => {
    if (active.size) event.preventDefault();
  });
}

function transferRow(file) {
  const row = document.createElement("div");
  row.className = "transfer";
  row.innerHTML = `<div class="row"><span class="transfer-name"></span>
    <button class="button end" type="button" data-size="small" data-part="pause">Pause</button>
    <button class="button" type="button" data-size="small" data-part="cancel">Cancel</button></div>
    <progress class="bar" max="100" value="0"></progress>
    <p class="transfer-numbers"><span data-part="bytes"></span><span data-part="rate"></span><span data-part="left"></span><span data-part="note" aria-live="polite"></span></p>`;
  const part = (name) => row.querySelector(`[data-part="${name}"]`);
  const bar = row.querySelector("progress");
  row.querySelector(".transfer-name").textContent = file.name;
  bar.setAttribute("aria-label", `Upload of ${file.name}`);
  let paused = false;
  part("pause").addEventListener("click", () => {
    paused = !paused;
    part("pause").textContent = paused ? "Go on" : "Pause";
    row.onPause(paused);
  });
  part("cancel").addEventListener("click", () => row.onCancel());
  row.progress = (sent, rate) => {
    bar.value = file.size ? (100 * sent) / file.size : 100;
    part("bytes").textContent = `${formatBytes(sent)} of ${formatBytes(file.size)}`;
    part("rate").textContent = rate ? `${formatBytes(rate)}/s` : "";
    part("left").textContent = rate && !paused ? `${formatDuration((file.size - sent) / rate)} left` : "";
  };
  row.state = (word, text) => {
    part("note").textContent = { sending: "", paused: "paused", done: "received" }[word] ?? text;
  };
  row.fail = (text) => {
    part("note").textContent = text;
    part("note").className = "error";
    part("pause").remove();
    part("cancel").textContent = "Dismiss";
    row.onCancel = () => row.remove();
  };
  return row;
}

/* Bytes per second over the last five seconds. */
function rateMeter() {
  const samples = [];
  return (sent) => {
    const moment = performance.now();
    if (samples.length && sent < samples.at(-1)[1]) samples.length = 0;
    samples.push([moment, sent]);
    while (samples.length > 2 && moment - samples[0][0] > 5000) samples.shift();
    const [since, before] = samples[0];
    return moment - since > 200 ? (1000 * (sent - before)) / (moment - since) : 0;
  };
}
