/* The dataset form: redraws classes and counts per split when the upload or a percentage changes, and fills the fields
   that nobody has touched with what the server guesses from the upload. */

import { request } from "../lib/request.js";

const WATCHED = ["upload_id", "train_percent", "val_percent", "test_percent"];
const GUESSED = ["name", "width", "height", "channels"];
const WAIT_MS = 200;

export function connect(form) {
  const preview = form.querySelector("[data-split-preview]");
  const touched = new Set();
  let timer = null;
  let asked = 0;

  async function redraw(withGuess) {
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
    if (withGuess && guess) fill(guess.dataset);
  }

  function fill(guess) {
    for (const name of GUESSED) {
      if (!touched.has(name) && guess[name]) form.elements[name].value = guess[name];
    }
  }

  form.addEventListener("input", (event) => {
    const name = event.target.name;
    if (GUESSED.includes(name)) touched.add(name);
    if (!WATCHED.includes(name)) return;
    clearTimeout(timer);
    timer = setTimeout(redraw, name === "upload_id" ? 0 : WAIT_MS, name === "upload_id");
  });
  return () => clearTimeout(timer);
}
