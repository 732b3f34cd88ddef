/* Hides the percentage of a split that has a source of its own (another folder, a list, an LMDB) and gives its share to
   training; gives it back when the source is taken away. On the row of the percentages, which goes when none is left. */

const SPLITS = ["val", "test"];
const SOURCES = { folders: "_upload_id", lists: "list_", databases: "database_" };

export function connect(row) {
  const form = row.closest("form");
  const shares = { val: "10", test: "20" }; // given back to a split that begins without one

  function isWhole(split) {
    const kind = form.elements.kind?.value || "folders";
    const name = kind === "folders" ? split + SOURCES[kind] : SOURCES[kind] + split;
    const file = kind === "lists" && form.elements[`file_${split}`]?.files.length > 0;
    return file || Boolean(form.elements[name]?.value);
  }

  function move(split, isHidden) {
    const input = form.elements[`${split}_percent`];
    const field = input.closest(".field");
    if (field.hidden === isHidden) return;
    field.hidden = isHidden;
    const before = input.value;
    if (isHidden) shares[split] = Number(before) ? before : shares[split];
    input.value = isHidden ? "0" : shares[split];
    const train = form.elements.train_percent;
    const left = Number(train.value) + Number(before) - Number(input.value);
    if (Number.isFinite(left) && left > 0) train.value = String(Number(left.toFixed(2)));
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function show() {
    for (const split of SPLITS) move(split, isWhole(split));
    row.hidden = SPLITS.every(isWhole); // training is all that is left
  }

  form.addEventListener("input", show);
  show();
  return () => form.removeEventListener("input", show);
}
