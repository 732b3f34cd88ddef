/* With "chart": loads its figures anew every data-reload-every seconds while the page is looked at, until the element
   that data-reload-while selects is gone from the page. */

export function connect(element) {
  const timer = setInterval(() => {
    if (document.hidden) return;
    element.dispatchEvent(new CustomEvent("chart:load"));
    if (!document.querySelector(element.dataset.reloadWhile)) clearInterval(timer);
  }, 1000 * Number(element.dataset.reloadEvery || 5));
  return () => clearInterval(timer);
}
