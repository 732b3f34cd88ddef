/* A diagram of a net that scrolls: opens at the middle, and a click on a layer shows its line where the page has it. */

export function connect(element) {
  if (!element.scrollLeft) element.scrollLeft = (element.scrollWidth - element.clientWidth) / 2;
  element.addEventListener("click", (event) => {
    const line = `L${event.target.closest(".node")?.dataset.line}`;
    if (document.getElementById(line)) location.hash = line;
  });
}
