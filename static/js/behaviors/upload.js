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

import { rateMeter, transferRow } from "../lib/transfer.js";
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
  if (input.files.length) take([...input.files]); // chosen before this script had come
}
