/* The dataset form: redraws classes and counts per split when the upload or a percentage changes, and fills the fields
   that nobody has touched with what the server guesses from the upload (data-guesses: not in a form that came back). */

import { request } from "../lib/request.js";

const WATCHED = ["upload_id", "train_percent", "val_percent", "test_percent", "min_per_class", "max_per_class"];
const GUESSED = ["name", "width", "height", "channels"];
const WAIT_MS = 200;

export function connect(form) {
  const preview = form.querySelector("[data-split-preview]");
  let timer = null;
  let asked = 0;
  let wantsGuess = false; // another upload was chosen, and its answer has not come yet

  async function redraw() {
    const values = new URLSearchParams(WATCHED.map((name) => [name, form.elements[name].value]));
    const turn = ++asked;
    let html;
    try {
      html = await (await request(`/datasets/new/_split?${values}`)).text();
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

  form.addEventListener("input", (event) => {
    const name = event.target.name;
    if (!WATCHED.includes(name)) return;
    clearTimeout(timer);
    wantsGuess ||= name === "upload_id";
    timer = setTimeout(redraw, name === "upload_id" ? 0 : WAIT_MS);
  });
  return () => clearTimeout(timer);
}

/* Also what was typed before this script had arrived. */
function isTouched(field) {
  return field.type === "radio" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue;
}
