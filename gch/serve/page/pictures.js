// The user's pictures: chosen, dropped or pasted.

/** Calls `take` with the file of each picture. */
export function takePictures({ button, input, curtain, take }) {
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files.length) take(input.files[0]);
    input.value = ""; // The same file may be chosen again.
  });
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
    if (!file) return;
    event.preventDefault();
    take(file);
  });
  let depth = 0; // Entering a child fires before leaving its parent.
  const over = (event) => event.dataTransfer?.types.includes("Files");
  const show = (change) => {
    depth = change ? depth + change : 0;
    curtain.hidden = depth <= 0;
  };
  addEventListener("dragenter", (event) => over(event) && show(1));
  addEventListener("dragleave", (event) => over(event) && show(depth > 1 ? -1 : 0));
  addEventListener("dragover", (event) => over(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!over(event)) return;
    event.preventDefault();
    show(0);
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
}
