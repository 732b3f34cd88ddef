/* <time datetime="…Z" data-behavior="relative-time">: "3 min ago"; with data-form="elapsed": "1 min 58 s", counting on. */

import { formatAgo, formatDuration, formatMoment } from "../lib/format.js";

export function connect(element) {
  const moment = new Date(element.dateTime);
  if (Number.isNaN(moment.getTime())) return undefined;
  const elapsed = element.dataset.form === "elapsed";
  element.title = formatMoment(moment);
  let timer;
  function show() {
    const seconds = Math.max(0, (Date.now() - moment) / 1000);
    element.textContent = elapsed ? formatDuration(Math.floor(seconds)) : formatAgo(seconds);
    timer = setTimeout(show, elapsed ? 1000 : seconds < 3600 ? 15000 : 300000);
  }
  show();
  return () => clearTimeout(timer);
}
