// `element` is the answer. Files come by gradio's field, from wherever they are dropped or pasted.
const field = () => document.querySelector("#image input[type=file]");

const take = (event, files) => {
  if (!files?.length || !field()) return;
  event.preventDefault();
  const first = new DataTransfer();
  first.items.add(files[0]);
  field().files = first.files;
  field().dispatchEvent(new Event("change", { bubbles: true }));
};

document.addEventListener("paste", (event) => take(event, event.clipboardData?.files));
// Beside the field a browser would leave the page, and show the file.
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  if (!event.target.closest("#image")) take(event, event.dataTransfer?.files);
});
// Only proposed: what else is chosen, the network refuses with a reason.
document.addEventListener("click", () => {
  if (field()) field().accept = ".jpg,.jpeg,.jpe,.jfif,.png,.webp";
}, true);

let opacity = 70;
element.addEventListener("input", (event) => {
  if (event.target.type !== "range") return;
  opacity = event.target.value;
  element.style.setProperty("--opacity", `${opacity}%`);
});
// Gradio changes only what differs: a choice would stay, and the slider would go back.
watch("value", () => {
  const slider = element.querySelector("input[type=range]");
  if (!slider) return;
  slider.value = opacity;
  element.querySelector("input[type=radio]").checked = true;
});

document.querySelector("#told").setAttribute("aria-live", "polite");

// Gradio takes its button away while an image is looked at, and the focus with it.
let held = false;
document.addEventListener("focusin", (event) => (held = !!event.target.closest("#image")));
document.addEventListener("pointerdown", () => (held = false));
new MutationObserver(() => {
  if (held && document.activeElement === document.body)
    document.querySelector("#image button:has(input)")?.focus();
}).observe(document.body, { childList: true, subtree: true });
