/* Figures name colours by token ("var(--series-1)"); Plotly wants rgb(). Resolved anew whenever the theme changes. */

const canvas = document.createElement("canvas");
canvas.width = canvas.height = 1;
const context = canvas.getContext("2d", { willReadFrequently: true });

export function tokenColor(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  context.clearRect(0, 0, 1, 1);
  context.fillStyle = value;
  context.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
  return `rgba(${r},${g},${b},${(a / 255).toFixed(3)})`;
}

/* A copy of a figure's part with every "var(--name)" replaced. Arrays of numbers are passed on as they are. */
export function withColors(value, known = new Map()) {
  if (typeof value === "string") {
    const name = /^var\((--[\w-]+)\)$/.exec(value)?.[1];
    if (!name) return value;
    if (!known.has(name)) known.set(name, tokenColor(name));
    return known.get(name);
  }
  if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map((part) => withColors(part, known));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, withColors(part, known)]));
}

/* Calls react when the theme changes, by the button or by the system; answers a function that ends it. */
export function onThemeChange(react) {
  const media = matchMedia("(prefers-color-scheme: dark)");
  document.addEventListener("themechange", react);
  media.addEventListener("change", react);
  return () => {
    document.removeEventListener("themechange", react);
    media.removeEventListener("change", react);
  };
}
