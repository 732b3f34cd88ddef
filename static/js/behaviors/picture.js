/* A form with one picture: drop it on [data-picture-drop], or paste it anywhere on the page; the chosen one is shown in
   [data-picture-preview]. The file input does the same without JavaScript. */

export function connect(form) {
  const input = form.querySelector('input[type="file"]');
  const area = form.querySelector("[data-picture-drop]") ?? form;
  const preview = form.querySelector("[data-picture-preview]");
  let address = null;

  function show() {
    const file = input.files[0];
    if (address) URL.revokeObjectURL(address);
    address = file ? URL.createObjectURL(file) : null;
    if (!preview) return;
    preview.hidden = true;
    if (!address) return;
    preview.onload = () => {
      preview.hidden = false; // a kind that browsers cannot show (TIFF) is tested all the same
      preview.classList.toggle("pixelated", preview.naturalWidth < 100);
      preview.dataset.size = preview.naturalWidth < 100 ? "s" : "m";
    };
    preview.src = address;
  }

  function take(files) {
    if (files.length === 0) return;
    const chosen = new DataTransfer();
    chosen.items.add(files[0]);
    input.files = chosen.files;
    show();
  }

  function onPaste(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) take(files);
  }

  input.addEventListener("change", show);
  area.addEventListener("dragover", (event) => {
    event.preventDefault();
    area.dataset.over = "";
  });
  area.addEventListener("dragleave", (event) => {
    if (!area.contains(event.relatedTarget)) delete area.dataset.over;
  });
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    delete area.dataset.over;
    take([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", onPaste);
  return () => {
    document.removeEventListener("paste", onPaste);
    if (address) URL.revokeObjectURL(address);
  };
}
