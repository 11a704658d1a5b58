// Uploads with previews and progress, several at a time: chosen, dropped anywhere, pasted, or taken with the camera.

import { copyFrom } from "./copying.js";
import { remember, setUpRemembered } from "./remembered.js";
import { text } from "./toasts.js";

const IMAGES = "/api/v1/images/";
const ENDPOINT = `${IMAGES}upload`;
//: Answers after which trying again by itself is right, and how often.
const PASSING = new Set([429, 503]);
const TRIES = 8;
//: And after which the same file will be refused as often as it is sent.
const LASTING = new Set([400, 403, 413, 422]);

/** A random text that tells the server that a repeated upload is the same one. */
const randomKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

//: What is said of an upload that failed, by the code of the answer or by what is wrong with the picture.
let refusals = {};

/** One file on its way: its row in the list, and what has become of it. */
class Upload {
  constructor(file, form) {
    this.file = file;
    this.form = form;
    this.key = randomKey();
    // Now and not when its turn comes: the choice may have been changed for the next pictures by then.
    this.visibility = form.elements.visibility?.value;
    this.tries = 0;
    const row = document.getElementById("upload-item").content.cloneNode(true).firstElementChild;
    this.row = row;
    row.tabIndex = -1;
    this.part = (name) => row.querySelector(`[data-${name}]`);
    this.part("name").textContent = file.name;
    this.part("name").id = `upload-${this.key}`;
    // Several rows have the same buttons; what they are about is read out with them.
    for (const each of row.querySelectorAll("button, a, progress")) {
      each.setAttribute("aria-describedby", `upload-${this.key}`);
    }
    this.part("cancel").addEventListener("click", () => this.cancel());
    this.part("retry").addEventListener("click", () => {
      this.tries = 0;
      this.forgive();
      this.onRetry();
    });
    this.preview = URL.createObjectURL(file);
    this.part("preview").src = this.preview;
    for (const [button, field] of [["copy-link", "link"], ["copy-token", "token-field"]]) {
      this.part(button).addEventListener("click", () => copyFrom(this.part(field), this.part(button)));
    }
    this.state(text("waiting"));
  }

  state(words) {
    this.part("state").textContent = words;
  }

  /** Why the file need not even be sent; empty when nothing is wrong with it. */
  problem() {
    const { maxBytes, types } = this.form.dataset;
    if (this.file.size > Number(maxBytes)) return refusals.FILE_TOO_LARGE;
    if (this.file.type && !types.split(",").includes(this.file.type)) return refusals.unsupported_type;
    if (!this.file.size) return refusals.empty_file;
    return "";
  }

  /** Hides the buttons and bars of these names. Whoever had one of them in focus goes on at the row, not at the top. */
  hide(...names) {
    const focused = document.activeElement;
    for (const name of names) this.part(name).hidden = true;
    if (names.some((name) => this.part(name) === focused)) this.row.focus({ preventScroll: true });
  }

  /** Sends it; resolves when it is kept, given up or cancelled. */
  async run() {
    const problem = this.problem();
    if (problem) return this.fail(problem, false);
    this.part("progress").hidden = false;
    while (!this.cancelled) {
      const answer = await this.send();
      if (this.cancelled) return this.takeBack(answer);
      if (answer.status === 201) return this.succeed(JSON.parse(answer.body));
      if (!PASSING.has(answer.status) || ++this.tries >= TRIES) {
        return this.fail(answer.message, !LASTING.has(answer.status));
      }
      await this.pause(answer.retryAfter);
    }
  }

  send() {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      this.request = request;
      this.sent = false;
      request.open("POST", ENDPOINT);
      for (const [name, value] of Object.entries(this.credentials())) request.setRequestHeader(name, value);
      request.setRequestHeader("Idempotency-Key", this.key);
      request.upload.addEventListener("load", () => (this.sent = true));
      request.upload.addEventListener("progress", (event) => {
        const percent = Math.floor((100 * event.loaded) / (event.total || 1));
        this.part("progress").value = percent;
        this.state(percent < 100 ? text("uploading", { percent }) : text("processing"));
      });
      const finish = () => resolve(answerOf(request));
      for (const name of ["load", "error", "abort"]) request.addEventListener(name, finish);
      const body = new FormData();
      if (this.visibility) body.append("visibility", this.visibility);
      body.append("file", this.file, this.file.name);
      request.send(body);
    });
  }

  credentials() {
    const csrf = this.form.elements.csrf_token?.value;
    return csrf ? { "X-CSRF-Token": csrf } : {};
  }

  async pause(seconds) {
    for (let left = seconds; left > 0 && !this.cancelled; left--) {
      this.state(text("waits", { seconds: left }));
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }

  cancel() {
    this.cancelled = true;
    // What has arrived as a whole may be kept whether somebody listens or not: then the answer says what to take back.
    if (!this.sent) this.request?.abort();
    this.state(text("cancelled"));
    this.hide("cancel", "progress");
  }

  /** Deletes what was kept before the server could know that it is not wanted. */
  async takeBack(answer) {
    if (answer.status !== 201) return;
    const { id, delete_token: token } = JSON.parse(answer.body);
    const headers = token ? { "X-Delete-Token": token } : this.credentials();
    await fetch(IMAGES + id, { method: "DELETE", headers, keepalive: true });
  }

  /** What went wrong before is not said any longer. */
  forgive() {
    this.row.querySelector(".field-error")?.remove();
    this.hide("retry");
    this.state(text("waiting"));
  }

  fail(message, again) {
    this.state("");
    this.part("retry").hidden = !again;
    this.hide("progress", "cancel");
    let words = this.row.querySelector(".field-error");
    if (!words) {
      words = Object.assign(document.createElement("p"), { className: "field-error col-span-2" });
      words.setAttribute("role", "alert");
      this.row.append(words);
    }
    words.textContent = message;
  }

  succeed(image) {
    this.image = image;
    this.state(text("done"));
    this.hide("progress", "cancel");
    const page = new URL(`/image/${image.id}`, location.href).href;
    Object.assign(this.part("open"), { href: page, hidden: false });
    this.part("preview").src = image.thumbnail_ready ? image.thumbnails["150"] : this.preview;
    this.part("link").value = new URL(`/i/${image.id}`, location.href).href;
    if (image.delete_token) {
      this.part("token").hidden = false;
      this.part("token-field").value = image.delete_token;
      const note = `${page}\n${image.delete_token}\n`;
      const download = this.part("download-token");
      download.href = URL.createObjectURL(new Blob([note], { type: "text/plain" }));
      download.download = `chitram-${image.id}.txt`;
      remember({ id: image.id, name: image.filename, token: image.delete_token, at: image.created_at });
    }
    this.part("result").hidden = false;
  }
}

/** What the server said: { status, body, message, retryAfter in seconds }. */
const answerOf = (request) => {
  let message = request.status ? text("failed") : text("offline");
  try {
    const { code, details } = JSON.parse(request.responseText).detail;
    message = refusals[details.reason] ?? refusals[code] ?? message;
  } catch {
    // Success, a proxy's page, or nothing at all.
  }
  const retryAfter = Math.max(1, Number(request.getResponseHeader("Retry-After")) || 5);
  return { status: request.status, body: request.responseText, message, retryAfter };
};

/** Works through uploads, a few at a time. */
class Queue {
  constructor(parallel) {
    this.parallel = parallel;
    this.waiting = [];
    this.running = 0;
    this.done = 0;
  }

  add(upload) {
    upload.onRetry = () => this.add(upload);
    // Also before its turn: whoever chose too many need not watch for it.
    upload.part("cancel").hidden = false;
    this.waiting.push(upload);
    this.next();
  }

  async next() {
    if (this.running >= this.parallel || !this.waiting.length) return;
    const upload = this.waiting.shift();
    if (!upload.cancelled) {
      this.running += 1;
      // Whatever happens to one of them, the others go on.
      await upload.run().catch(() => upload.fail(text("failed"), true));
      this.running -= 1;
      if (upload.image) {
        this.done += 1;
        document.getElementById("uploads-status").textContent = text("all_done", { count: this.done });
        this.onDone(upload.image);
      }
    }
    this.next();
  }
}

const hasFiles = (event) => Array.from(event.dataTransfer?.types ?? []).includes("Files");

/** Dropping anywhere on the page; `take` gets the files. */
const setUpDropping = (take) => {
  const sign = document.getElementById("drop-everywhere");
  let depth = 0;
  addEventListener("dragenter", (event) => {
    if (hasFiles(event) && ++depth) sign.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (hasFiles(event) && --depth <= 0) sign.hidden = true;
  });
  addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    sign.hidden = true;
    take(event.dataTransfer.files);
  });
};

const setUpPasting = (take) => {
  addEventListener("paste", (event) => {
    const files = Array.from(event.clipboardData?.files ?? []);
    if (!files.length) return;
    event.preventDefault();
    take(files.map((file) => (file.name ? file : new File([file], text("pasted_name"), { type: file.type }))));
  });
};

/** Makes the upload page work with more than one file at a time. */
export const setUpUploads = () => {
  setUpRemembered();
  const form = document.querySelector("form[data-upload]");
  const input = document.getElementById("file");
  if (!form || !input) return;
  refusals = JSON.parse(document.getElementById("refusals").textContent);
  const queue = new Queue(Number(form.dataset.parallel));
  const list = document.getElementById("upload-list");

  const take = (files) => {
    const uploads = Array.from(files, (file) => new Upload(file, form));
    if (!uploads.length) return;
    // The newest ones on top, in the order in which they were chosen.
    list.prepend(...uploads.map((upload) => upload.row));
    document.getElementById("uploads").hidden = false;
    for (const upload of uploads) queue.add(upload);
  };
  // A single picture leads to its page, unless there is a token to be saved first.
  queue.onDone = (image) => {
    if (list.childElementCount === 1 && !image.delete_token) location.assign(`/image/${image.id}`);
  };

  input.multiple = true;
  input.required = false;
  for (const element of form.querySelectorAll("[data-with-script]")) element.hidden = false;
  for (const element of form.querySelectorAll("[data-without-script]")) element.hidden = true;
  for (const each of [input, form.querySelector("[data-camera]")]) {
    each.addEventListener("change", () => {
      take(Array.from(each.files));
      each.value = "";
    });
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  setUpDropping(take);
  setUpPasting(take);
  addEventListener("beforeunload", (event) => {
    if (queue.running) event.preventDefault();
  });
};

