/* <details class="confirm">: closes on Escape, on a click elsewhere, and when another one opens. */

export function connect(details) {
  const onKey = (event) => {
    if (event.key !== "Escape" || !details.open) return;
    details.open = false;
    details.querySelector("summary").focus();
  };
  const onClick = (event) => {
    if (details.open && !details.contains(event.target)) details.open = false;
  };
  details.addEventListener("toggle", () => {
    if (details.open) details.querySelector("form button")?.focus();
  });
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", onClick);
  return () => {
    document.removeEventListener("keydown", onKey);
    document.removeEventListener("click", onClick);
  };
}
