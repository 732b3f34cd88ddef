/* The sum of the training, validation and test percentages while they are typed; sum in [data-sum]. */

const NAMES = ["train_percent", "val_percent", "test_percent"];

export function connect(row) {
  const inputs = NAMES.map((name) => row.querySelector(`[name="${name}"]`));
  const sum = row.querySelector("[data-sum]");

  function show() {
    const parts = inputs.map((input) => Number(input.value.normalize("NFKC").trim() || NaN));
    const total = parts.reduce((a, b) => a + b, 0);
    const isWhole = Math.abs(total - 100) <= 0.01;
    sum.textContent = Number.isNaN(total) ? "–" : `${Number(total.toFixed(2))} %`;
    sum.toggleAttribute("data-wrong", !isWhole);
    if (!isWhole && !Number.isNaN(total)) sum.textContent += `, ${total < 100 ? "" : "+"}${Number((total - 100).toFixed(2))}`;
  }

  row.addEventListener("input", show);
  show();
}
