// The choice between light, dark and the system's theme, kept in this browser.

const KEY = "chitram-theme";

/** Shows the choice, which is hidden where there is no script to act on it. */
export const setUpTheme = () => {
  const box = document.querySelector("[data-theme-choice]");
  const select = box.querySelector("select");
  box.hidden = false;
  select.value = document.documentElement.dataset.theme ?? "";
  select.addEventListener("change", () => {
    if (select.value) document.documentElement.dataset.theme = select.value;
    else delete document.documentElement.dataset.theme;
    try {
      if (select.value) localStorage.setItem(KEY, select.value);
      else localStorage.removeItem(KEY);
    } catch {
      // Without storage the choice lasts as long as the page.
    }
  });
};
