/* Button that goes round auto → light → dark; remembered in this browser (early.js applies it before the first paint). */

const THEMES = ["auto", "light", "dark"];

export function connect(button) {
  const root = document.documentElement;
  const current = () => root.dataset.theme ?? "auto";
  const show = () => {
    button.textContent = `Theme: ${current()}`;
  };
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(current()) + 1) % THEMES.length];
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    try {
      localStorage.setItem("theme", next);
    } catch {
      /* not remembered; it still holds for this page */
    }
    show();
    document.dispatchEvent(new CustomEvent("themechange"));
  });
  show();
}
