/* Runs before the first paint: the remembered theme and a mark that JavaScript is there. Nothing else belongs here. */
document.documentElement.dataset.js = "";
try {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  /* storage may be forbidden; the system's theme is then used */
}
