// The delete token on the page that asks for it: from the address' fragment, which no server sees, or from this browser's list.

import { forget, tokenOf } from "./remembered.js";

//: Which image this window asked to delete, while nobody has answered yet.
const KEY = "chitram-deleting";
const TOKEN = /^[\w-]{43}$/;

const note = (id) => {
  try {
    sessionStorage.setItem(KEY, id);
  } catch {
    // Without storage there is no list either.
  }
};

const noted = () => {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
};

/** Drops from the list what is no longer there. An address alone, which anybody can write, drops nothing that exists. */
const forgetDeleted = () => {
  if (new URLSearchParams(location.search).has("deleted") && noted()) {
    forget(noted());
    note("");
  }
  const gone = performance.getEntriesByType("navigation")[0]?.responseStatus === 404;
  const id = /^\/image\/(\w+)\/delete$/.exec(location.pathname)?.[1];
  if (gone && id) forget(id);
};

/** Fills the token in where it is known, and drops from the list what has been deleted. */
export const setUpDeleting = () => {
  forgetDeleted();
  const field = document.querySelector("input[data-delete-token]");
  if (!field) return;
  const id = field.dataset.deleteToken;
  const inFragment = TOKEN.exec(location.hash.slice(1))?.[0];
  if (inFragment) history.replaceState(null, "", location.pathname + location.search);
  field.value ||= inFragment ?? tokenOf(id) ?? "";
  field.form.addEventListener("submit", () => note(id));
};
