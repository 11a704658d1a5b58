// The delete token on the page that asks for it: from the address' fragment, which no server sees, or from this browser's list.

import { forget, tokenOf } from "./remembered.js";

/** Fills the token in where it is known, and drops from the list what has been deleted. */
export const setUpDeleting = () => {
  const deleted = new URLSearchParams(location.search).get("deleted");
  if (deleted) forget(deleted);
  const field = document.querySelector("input[data-delete-token]");
  if (!field) return;
  const id = field.dataset.deleteToken;
  const inFragment = decodeURIComponent(location.hash.slice(1));
  if (inFragment) history.replaceState(null, "", location.pathname + location.search);
  field.value ||= inFragment || tokenOf(id) || "";
};
