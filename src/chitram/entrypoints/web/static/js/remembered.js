// The list of images that were uploaded from this browser without an account, with their delete tokens.

import { text, toast } from "./toasts.js";

const KEY = "chitram-uploads";
const MOST = 200;

const read = () => {
  try {
    const list = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(list) ? list.filter((each) => each?.id && each.token) : [];
  } catch {
    return [];
  }
};

const write = (list) => {
  try {
    localStorage.setItem(KEY, JSON.stringify(list.slice(0, MOST)));
  } catch {
    // Private windows and full storages: the token stands on the page all the same.
  }
};

/** Keeps { id, name, token, at }. */
export const remember = (image) => {
  write([image, ...read().filter((each) => each.id !== image.id)]);
  show();
};

/** Drops one image of the list. */
export const forget = (id) => write(read().filter((each) => each.id !== id));

/** The delete token of an image, if this browser has it. */
export const tokenOf = (id) => read().find((each) => each.id === id)?.token;

const show = () => {
  const section = document.getElementById("remembered");
  if (!section) return;
  const images = read();
  const list = document.getElementById("remembered-list");
  list.replaceChildren(
    ...images.map((image) => {
      const row = document.getElementById("remembered-item").content.cloneNode(true).firstElementChild;
      const page = row.querySelector("[data-page]");
      page.href = `/image/${encodeURIComponent(image.id)}`;
      page.textContent = image.name;
      row.querySelector("[data-when]").textContent = new Date(image.at).toLocaleDateString();
      // The fragment of an address never leaves the browser.
      const remove = row.querySelector("[data-delete]");
      remove.href = `/image/${encodeURIComponent(image.id)}/delete#${encodeURIComponent(image.token)}`;
      return row;
    }),
  );
  section.hidden = !images.length;
};

/** Forgets everything; for a moment it can be brought back, since nothing else has the tokens. */
const forgetAll = () => {
  const images = read();
  const bringBack = () => {
    write([...read(), ...images]);
    show();
  };
  write([]);
  show();
  toast(text("forgotten"), { label: text("undo"), run: bringBack });
};

/** Shows the list on the page that has a place for it. */
export const setUpRemembered = () => {
  document.getElementById("forget")?.addEventListener("click", forgetAll);
  // Another window of this browser may upload and delete too.
  addEventListener("storage", (event) => {
    if (event.key === KEY) show();
  });
  show();
};
