// `element` is the answer; gradio's upload field takes files from wherever they come.
const field = () => document.querySelector("#image input[type=file]");

const take = (files) => {
  if (!files?.length || !field()) return false;
  const chosen = new DataTransfer();
  chosen.items.add(files[0]);
  field().files = chosen.files;
  field().dispatchEvent(new Event("change", { bubbles: true }));
  return true;
};

document.addEventListener("paste", (event) => {
  if (take(event.clipboardData?.files)) event.preventDefault();
});
// A file that is dropped beside the field would replace the page.
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  if (event.target.closest("#image")) return;
  event.preventDefault();
  take(event.dataTransfer?.files);
});

let opacity = 70;
element.addEventListener("input", (event) => {
  if (event.target.type !== "range") return;
  opacity = event.target.value;
  element.style.setProperty("--opacity", `${opacity}%`);
});
document.querySelector("#told").setAttribute("aria-live", "polite");
watch("value", () => {
  const slider = element.querySelector("input[type=range]");
  if (slider) slider.value = opacity;
});
