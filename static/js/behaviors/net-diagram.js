/* A diagram of a net on a topology's page: a click on a layer shows its line of the prototxt. */

export function connect(element) {
  element.addEventListener("click", (event) => {
    const line = Number(event.target.closest(".node")?.dataset.line);
    if (line > 0) location.hash = `L${line}`;
  });
}
