/* The dataset form: redraws the choices of the first step when another upload is chosen, classes and counts per split
   when one of them or a percentage changes, and fills the fields that nobody has touched with what the server guesses
   from the upload (data-guesses: not in a form that came back). */

import { isTouched, keepTyped } from "../lib/fields.js";
import { request } from "../lib/request.js";

const WATCHED = ["train_percent", "val_percent", "test_percent", "min_per_class", "max_per_class"];
const GUESSED = ["name", "width", "height", "channels"];
const WAIT_MS = 200;

export function connect(form) {
  const preview = form.querySelector("[data-split-preview]");
  const sources = form.querySelector("[data-sources]");
  let timer = null;
  let asked = 0;
  let drawn = 0;
  let chosenPlace = ""; // since the last drawing: "first" when it was the upload, "other" when it was another place
  let wantsGuess = false; // another upload was chosen, and its answer has not come yet

  const isSource = (field) => sources.contains(field) || field.name === "upload_id";

  /* The fields that decide about the split; files only when there are some. */
  function values() {
    const found = new FormData();
    for (const field of form.elements) {
      if (!WATCHED.includes(field.name) && !isSource(field)) continue;
      if (field.type === "radio" ? field.checked : field.name && field.type !== "file") found.append(field.name, field.value);
      for (const file of field.files ?? []) found.append(field.name, file);
    }
    return found;
  }

  function ask(url, sent) {
    const hasFiles = [...sent.values()].some((value) => typeof value !== "string");
    return hasFiles ? request(url, { method: "POST", body: sent }) : request(`${url}?${new URLSearchParams(sent)}`);
  }

  async function redraw() {
    const turn = ++asked;
    let html;
    try {
      html = await (await ask("/datasets/new/_split", values())).text();
    } catch {
      return; // the form can be sent all the same, and is checked then
    }
    if (turn !== asked) return; // a later answer is under way
    const template = document.createElement("template");
    template.innerHTML = html;
    const guess = template.content.querySelector("[data-guess]");
    preview.replaceChildren(template.content);
    if (wantsGuess && guess && "guesses" in form.dataset) fill(guess.dataset);
    wantsGuess = false;
  }

  /* Keeps the files that were chosen, the focus, and what was typed while the answer was under way. */
  async function redrawSources(isFresh) {
    const turn = ++drawn;
    const sent = new URLSearchParams([...values()].filter(([, value]) => typeof value === "string"));
    if (isFresh) sent.set("fresh", "1");
    const template = document.createElement("template");
    try {
      template.innerHTML = await (await request(`/datasets/new/_sources?${sent}`)).text();
    } catch {
      return;
    }
    if (turn !== drawn) return; // a later answer is under way
    if (!isFresh) keepTyped(sources, template.content, sent);
    for (const input of sources.querySelectorAll('[type="file"]')) {
      if (input.files.length) template.content.querySelector(`[name="${input.name}"]`)?.replaceWith(input);
    }
    const focused = document.activeElement?.id;
    const open = [...sources.querySelectorAll("details")].map((details) => details.open);
    sources.replaceChildren(template.content);
    for (const [number, details] of [...sources.querySelectorAll("details")].entries()) details.open ||= open[number];
    if (focused) document.getElementById(focused)?.focus();
    form.dispatchEvent(new Event("input")); // what is shown depends on what is chosen
  }

  function fill(guess) {
    for (const name of GUESSED) {
      const fields = form.querySelectorAll(`[name="${name}"]`);
      if (!guess[name] || [...fields].some(isTouched)) continue;
      form.elements[name].value = guess[name];
      for (const field of fields) {
        field.defaultValue = field.value;
        field.defaultChecked = field.checked;
      }
      fields[0].dispatchEvent(new Event("input", { bubbles: true })); // previews depend on it
    }
  }

  /* Other fields may change in the wake of a place, before anything is drawn. */
  function note(name) {
    if (name === "upload_id") chosenPlace = "first";
    else if (name.endsWith("upload_id")) chosenPlace ||= "other";
  }

  async function change() {
    const place = chosenPlace;
    chosenPlace = "";
    if (place) await redrawSources(place === "first");
    await redraw();
  }

  form.addEventListener("input", (event) => {
    const field = event.target;
    if (!WATCHED.includes(field.name) && !isSource(field)) return;
    if (field.files?.length) form.elements[field.name.replace("file_", "list_")].value = "";
    clearTimeout(timer);
    wantsGuess ||= field.name === "upload_id";
    note(field.name);
    timer = setTimeout(change, field.matches("select, [type=radio], [type=file]") ? 0 : WAIT_MS);
  });
  const early = [...form.elements].filter((field) => (WATCHED.includes(field.name) || isSource(field)) && isTouched(field));
  const first = early.find((field) => field.name.endsWith("upload_id")) ?? early[0];
  if (first) {
    wantsGuess = first.name === "upload_id";
    note(first.name);
    change();
  }
  return () => clearTimeout(timer);
}
