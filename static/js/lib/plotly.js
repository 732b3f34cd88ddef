/* Loads Plotly (served from the installed Python package) once, when the first chart needs it. */

let loading = null;

export function loadPlotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "/static/vendor/plotly.min.js";
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      loading = null;
      script.remove();
      reject(new Error("The drawing library could not be loaded; reload the page to try again."));
    };
    document.head.append(script);
  });
  return loading;
}
