/* One running upload on screen: its name, bar, bytes, rate, time left, Pause and Cancel. */

import { formatBytes, formatDuration } from "./format.js";

export function transferRow(file) {
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
export function rateMeter() {
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
