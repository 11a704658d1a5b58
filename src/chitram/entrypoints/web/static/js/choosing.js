// How many pictures are ticked, said beside the buttons that change them.

/** Counts the ticked boxes of one's own pictures. */
export const setUpChoosing = () => {
  const form = document.getElementById("my-images");
  const words = document.getElementById("chosen");
  if (!form || !words) return;
  const nothing = words.textContent;
  form.addEventListener("change", () => {
    const count = form.querySelectorAll("input[name=image]:checked").length;
    const text = count === 1 ? words.dataset.one : words.dataset.many.replace("{count}", count);
    words.textContent = count ? text : nothing;
  });
};
