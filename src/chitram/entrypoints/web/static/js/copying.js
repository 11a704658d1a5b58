// Copy buttons: <button data-copy="ID"> copies the field with that id.

import { text, toast } from "./toasts.js";

/** Copies the text of `field`, and says so on `button`. */
export const copyFrom = async (field, button) => {
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    // No clipboard on plain http: the old way, and if that is gone too, the text stands selected.
    field.select();
    if (!document.execCommand("copy")) {
      toast(text("copy_failed"));
      return;
    }
  }
  const before = button.textContent;
  button.textContent = text("copied");
  button.dataset.copied = "";
  setTimeout(() => {
    button.textContent = before;
    delete button.dataset.copied;
  }, 2000);
};

/** Makes the copy buttons below `root` work; they are hidden without this script. */
export const setUpCopying = (root) => {
  for (const button of root.querySelectorAll("button[data-copy]:not([data-ready])")) {
    button.dataset.ready = "";
    button.hidden = false;
    button.addEventListener("click", () => copyFrom(document.getElementById(button.dataset.copy), button));
  }
  for (const field of root.querySelectorAll("input[data-select]:not([data-ready])")) {
    field.dataset.ready = "";
    field.addEventListener("focus", () => field.select());
  }
};
