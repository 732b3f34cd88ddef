/* Fields of the form around an element that names them in data-fields: their values, and a call when one changes. */

const WAIT_MS = 200;

export function fieldsOf(element) {
  const names = namesOf(element);
  const values = new URLSearchParams();
  for (const [name, value] of new FormData(element.closest("form"))) {
    if (names.has(name) && typeof value === "string") values.append(name, value);
  }
  return values;
}

/* Calls react a moment after the last change of one of the fields; answers a function that ends it. */
export function onFields(element, react) {
  const form = element.closest("form");
  const names = namesOf(element);
  let timer = null;
  function onInput(event) {
    if (!names.has(event.target.name)) return;
    clearTimeout(timer);
    timer = setTimeout(react, event.target.matches("select, [type=radio], [type=checkbox]") ? 0 : WAIT_MS);
  }
  form.addEventListener("input", onInput);
  return () => {
    clearTimeout(timer);
    form.removeEventListener("input", onInput);
  };
}

function namesOf(element) {
  return new Set(element.dataset.fields.split(/\s+/).filter(Boolean));
}

/* Also what was typed or chosen before this script had arrived. */
export function isTouched(field) {
  if (field.options) return field.value !== ([...field.options].find((one) => one.defaultSelected) ?? field.options[0])?.value;
  return field.type === "radio" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue;
}

/* Puts what was typed or chosen since `sent` into the drawing that takes the place of these fields. */
export function keepTyped(fields, drawing, sent) {
  for (const field of fields.querySelectorAll(".input:not([type=file])")) {
    const again = drawing.querySelector(`[name="${field.name}"]`);
    if (again && field.value !== sent.get(field.name)) again.value = field.value;
  }
}
