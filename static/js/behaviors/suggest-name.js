/* Keeps the name of a new model in step with what is chosen, until somebody types another one.
   In the form: fields `topology` and `dataset_id`, whose choices say data-name, and `name`. */

export function connect(form) {
  let suggested = suggestion();

  function suggestion() {
    const topology = form.querySelector("[name=topology]:checked")?.dataset.name;
    const dataset = form.elements.dataset_id.selectedOptions[0]?.dataset.name;
    return topology && dataset ? `${topology} on ${dataset}`.slice(0, 200) : null;
  }

  form.addEventListener("input", ({ target }) => {
    if (target.name !== "topology" && target.name !== "dataset_id") return;
    const next = suggestion();
    if (next && form.elements.name.value === suggested) form.elements.name.value = next;
    suggested = next;
  });
}
