/* Shows only the fields that have an effect. Inside the element:
     [data-depends="lr_policy: step exp"]  is shown while the field lr_policy has one of these values
     data-defaults on the element: {lr_policy: {step: {gamma: 0.1}}}; choosing a value fills the fields that still hold
     what an earlier choice, or the page, has put there */

export function connect(element) {
  const form = element.closest("form");
  const defaults = JSON.parse(element.dataset.defaults || "{}");
  const untouched = new Map([...form.elements].map(({ name }) => [name, form.elements[name]?.value]));

  function show() {
    for (const part of element.querySelectorAll("[data-depends]")) {
      const [name, values] = part.dataset.depends.split(":");
      part.hidden = !values.trim().split(/\s+/).includes(form.elements[name.trim()].value);
    }
  }

  function fill(name) {
    for (const [field, value] of Object.entries(defaults[name]?.[form.elements[name].value] ?? {})) {
      const input = form.elements[field];
      if (input.value !== untouched.get(field)) continue;
      if (input.value === value) continue;
      input.value = value;
      untouched.set(field, input.value);
      (input[0] ?? input).dispatchEvent(new Event("input", { bubbles: true })); // what is drawn from it follows
    }
  }

  form.addEventListener(
    "input",
    (event) => {
      if (event.target.name in defaults) fill(event.target.name);
      show();
    },
    { capture: true }, // before the previews read the fields
  );
  show();
}
