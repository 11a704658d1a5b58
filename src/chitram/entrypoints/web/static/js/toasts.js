// Short messages at the lower edge, which screen readers read out.

const texts = JSON.parse(document.getElementById("texts").textContent);
const SECONDS = 8;

/** A text of the catalogue (its part `script`), with `values` in the places of their names. */
export const text = (key, values = {}) =>
  Object.entries(values).reduce((result, [name, value]) => result.replaceAll(`{${name}}`, value), texts[key] ?? key);

/** Shows `message`; `action` is { label, run } of a button beside it. */
export const toast = (message, action) => {
  const box = document.createElement("div");
  box.className = "toast";
  const words = document.createElement("p");
  words.textContent = message;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button button-small button-quiet";
  button.textContent = action?.label ?? text("close");
  box.append(words, button);
  const shown = document.getElementById("toasts");
  // What is said once more takes the place of what was said before.
  for (const other of [...shown.children]) if (other.textContent === box.textContent) other.remove();
  shown.append(box);

  let timer = 0;
  const go = () => box.remove();
  const wait = () => (timer = setTimeout(go, SECONDS * 1000));
  const stay = () => clearTimeout(timer);
  button.addEventListener("click", () => {
    go();
    action?.run();
  });
  // It stays while somebody reads it.
  for (const name of ["pointerenter", "focusin"]) box.addEventListener(name, stay);
  for (const name of ["pointerleave", "focusout"]) box.addEventListener(name, wait);
  wait();
};
