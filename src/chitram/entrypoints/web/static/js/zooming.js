// The picture in full size, over the page: <a data-zoom> opens <dialog class="zoom">. Without script the link opens the file.

const STEP = 1.25;

/** Makes the full-size view of an image's page work. */
export const setUpZoom = () => {
  const link = document.querySelector("a[data-zoom]");
  const dialog = document.querySelector("dialog.zoom");
  if (!link || !dialog) return;
  const image = dialog.querySelector("img");
  const stage = dialog.querySelector(".zoom-stage");
  let scale = 1;

  const fit = () => Math.min(1, stage.clientWidth / image.naturalWidth, stage.clientHeight / image.naturalHeight);
  const show = (next) => {
    const middle = [stage.scrollLeft + stage.clientWidth / 2, stage.scrollTop + stage.clientHeight / 2];
    const before = scale;
    scale = Math.min(8, Math.max(fit(), next));
    image.style.width = `${image.naturalWidth * scale}px`;
    image.style.maxWidth = "none";
    // What was in the middle stays there.
    stage.style.alignItems = image.naturalHeight * scale > stage.clientHeight ? "start" : "center";
    stage.style.justifyContent = image.naturalWidth * scale > stage.clientWidth ? "start" : "center";
    stage.scrollLeft = (middle[0] * scale) / before - stage.clientWidth / 2;
    stage.scrollTop = (middle[1] * scale) / before - stage.clientHeight / 2;
  };

  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    image.src = link.href;
    dialog.showModal();
    image.decode().then(
      () => show(fit()),
      () => dialog.close(),
    );
  });
  for (const button of dialog.querySelectorAll("button[data-zoom-by]")) {
    button.addEventListener("click", () => {
      const by = Number(button.dataset.zoomBy);
      show(by ? scale * by : fit());
    });
  }
  dialog.querySelector("button[data-zoom-close]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", (event) => {
    const actions = { "+": STEP, "=": STEP, "-": 1 / STEP };
    if (event.key in actions) show(scale * actions[event.key]);
    if (event.key === "0") show(fit());
    if (event.key === "1") show(1);
  });
  stage.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey) return; // a plain wheel scrolls; with Ctrl, as pinching sends it, it zooms
      event.preventDefault();
      show(scale * (event.deltaY < 0 ? STEP : 1 / STEP));
    },
    { passive: false },
  );
  // Larger and smaller by the same step end beside where they began, by a rounding.
  image.addEventListener("dblclick", () => show(scale > fit() * 1.001 ? fit() : 1));
  dialog.addEventListener("close", () => link.focus());
};
