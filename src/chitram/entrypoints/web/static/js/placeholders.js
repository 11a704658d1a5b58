// Turns the placeholder of a picture (a thumbhash, base64) into a tiny picture behind it, until the real one is there.

const SIDE = 32;

/** The bytes of a base64 text. */
const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

/** Reads the 4-bit factors of one channel: nx × ny of them without the constant one, in triangular order. */
const channel = (nibbles, nx, ny, scale) => {
  const factors = [];
  for (let cy = 0; cy < ny; cy++) {
    for (let cx = cy ? 0 : 1; cx * ny < nx * (ny - cy); cx++) factors.push((nibbles() / 7.5 - 1) * scale);
  }
  return factors;
};

/** Sum of a channel's cosines at one place. */
const sum = (factors, nx, ny, fx, fy) => {
  let value = 0;
  let index = 0;
  for (let cy = 0; cy < ny; cy++) {
    for (let cx = cy ? 0 : 1; cx * ny < nx * (ny - cy); cx++) value += factors[index++] * fx[cx] * fy[cy];
  }
  return value;
};

/** Draws a thumbhash; gives { width, height, data } with RGBA bytes. */
export const decode = (text) => {
  const hash = bytesOf(text);
  const head = hash[0] | (hash[1] << 8) | (hash[2] << 16);
  const more = hash[3] | (hash[4] << 8);
  const hasAlpha = head >> 23;
  const landscape = more >> 15;
  const lx = Math.max(3, landscape ? (hasAlpha ? 5 : 7) : more & 7);
  const ly = Math.max(3, landscape ? more & 7 : hasAlpha ? 5 : 7);
  const constant = { l: (head & 63) / 63, p: ((head >> 6) & 63) / 31.5 - 1, q: ((head >> 12) & 63) / 31.5 - 1 };
  const alpha = hasAlpha ? { dc: (hash[5] & 15) / 15, scale: (hash[5] >> 4) / 15 } : { dc: 1, scale: 0 };

  const start = hasAlpha ? 6 : 5;
  let place = 0;
  const nibbles = () => (hash[start + (place >> 1)] >> ((place++ & 1) << 2)) & 15;
  const l = channel(nibbles, lx, ly, ((head >> 18) & 31) / 31);
  const p = channel(nibbles, 3, 3, (((more >> 3) & 63) / 63) * 1.25);
  const q = channel(nibbles, 3, 3, (((more >> 9) & 63) / 63) * 1.25);
  const a = hasAlpha ? channel(nibbles, 5, 5, alpha.scale) : [];

  const ratio = lx / ly;
  const width = Math.round(ratio > 1 ? SIDE : SIDE * ratio);
  const height = Math.round(ratio > 1 ? SIDE / ratio : SIDE);
  const data = new Uint8ClampedArray(width * height * 4);
  for (let y = 0, i = 0; y < height; y++) {
    const fy = Array.from({ length: Math.max(ly, 5) }, (_, c) => Math.cos((Math.PI / height) * (y + 0.5) * c));
    for (let x = 0; x < width; x++, i += 4) {
      const fx = Array.from({ length: Math.max(lx, 5) }, (_, c) => Math.cos((Math.PI / width) * (x + 0.5) * c));
      const light = constant.l + 2 * sum(l, lx, ly, fx, fy);
      const warm = constant.p + 2 * sum(p, 3, 3, fx, fy);
      const cool = constant.q + 2 * sum(q, 3, 3, fx, fy);
      const blue = light - (2 / 3) * warm;
      const red = (3 * light - blue + cool) / 2;
      data[i] = 255 * red;
      data[i + 1] = 255 * (red - cool);
      data[i + 2] = 255 * blue;
      data[i + 3] = 255 * (hasAlpha ? alpha.dc + 2 * sum(a, 5, 5, fx, fy) : 1);
    }
  }
  return { width, height, data };
};

/** Does `work` when the browser has nothing more urgent to do. */
const later = (work) => (window.requestIdleCallback ? requestIdleCallback(work, { timeout: 1000 }) : setTimeout(work));

const show = (element) => {
  try {
    const { width, height, data } = decode(element.dataset.placeholder);
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
    element.style.backgroundImage = `url(${canvas.toDataURL()})`;
  } catch {
    // A placeholder is an extra; the card's own colour does as well.
  }
};

/** Marks pictures that do not come, so that they are not shown as broken ones. */
export const markBroken = () => {
  // Such events do not rise; they can be seen on their way down.
  addEventListener("error", ({ target }) => target instanceof HTMLImageElement && (target.dataset.broken = ""), true);
};

/** Shows the placeholders below `root` whose pictures are not there yet. */
export const showPlaceholders = (root) => {
  for (const element of root.querySelectorAll("[data-placeholder]:not([data-placeholder=''])")) {
    const image = element.querySelector("img");
    const isThere = () => image?.complete && image.naturalWidth;
    if (isThere()) continue;
    // What is put off is out of sight; one at a time, so that nothing else has to wait for all of them.
    if (image?.loading === "lazy") later(() => isThere() || show(element));
    else show(element);
    // A transparent picture must not have its own blur behind it.
    image?.addEventListener("load", () => (element.style.backgroundImage = ""), { once: true });
  }
};
