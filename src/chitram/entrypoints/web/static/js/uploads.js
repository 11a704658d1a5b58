// Uploads with previews and progress, several at a time: chosen, dropped anywhere, pasted, or taken with the camera.

import { copyFrom } from "./copying.js";
import { remember, setUpRemembered } from "./remembered.js";
import { text } from "./toasts.js";

const ENDPOINT = "/api/v1/images/upload";
//: Answers after which trying again by itself is right, and how often.
const PASSING = new Set([429, 503]);
const TRIES = 8;

/** A random text that tells the server that a repeated upload is the same one. */
const randomKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

const size = (bytes) => `${(bytes / 1048576).toFixed(bytes < 10485760 ? 1 : 0)} MB`;

/** One file on its way: its row in the list, and what has become of it. */
class Upload {
  constructor(file, form) {
    this.file = file;
    this.form = form;
    this.key = randomKey();
    this.tries = 0;
    const row = document.getElementById("upload-item").content.cloneNode(true).firstElementChild;
    this.row = row;
    this.part = (name) => row.querySelector(`[data-${name}]`);
    this.part("name").textContent = file.name;
    this.part("cancel").addEventListener("click", () => this.cancel());
    this.part("retry").addEventListener("click", () => {
      this.tries = 0;
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
    if (this.file.size > Number(maxBytes)) return text("too_large", { size: size(Number(maxBytes)) });
    if (this.file.type && !types.split(",").includes(this.file.type)) return text("wrong_type");
    return "";
  }

  /** Sends it; resolves when it is kept, given up or cancelled. */
  async run() {
    const problem = this.problem();
    if (problem) return this.fail(problem, false);
    this.part("retry").hidden = true;
    this.part("cancel").hidden = false;
    while (!this.cancelled) {
      const answer = await this.send();
      if (this.cancelled) return;
      if (answer.status === 201) return this.succeed(JSON.parse(answer.body));
      if (!PASSING.has(answer.status) || ++this.tries >= TRIES) return this.fail(answer.message, true);
      await this.pause(answer.retryAfter);
    }
  }

  send() {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      this.request = request;
      request.open("POST", ENDPOINT);
      request.setRequestHeader("Idempotency-Key", this.key);
      const csrf = this.form.elements.csrf_token?.value;
      if (csrf) request.setRequestHeader("X-CSRF-Token", csrf);
      request.upload.addEventListener("progress", (event) => {
        const percent = Math.floor((100 * event.loaded) / (event.total || 1));
        this.part("progress").value = percent;
        this.state(percent < 100 ? text("uploading", { percent }) : text("processing"));
      });
      const finish = () => resolve(answerOf(request));
      for (const name of ["load", "error", "abort"]) request.addEventListener(name, finish);
      const body = new FormData();
      const visibility = this.form.elements.visibility?.value;
      if (visibility) body.append("visibility", visibility);
      body.append("file", this.file, this.file.name);
      request.send(body);
    });
  }

  async pause(seconds) {
    for (let left = seconds; left > 0 && !this.cancelled; left--) {
      this.state(text("waits", { seconds: left }));
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }

  cancel() {
    this.cancelled = true;
    this.request?.abort();
    this.state(text("cancelled"));
    this.part("cancel").hidden = true;
    this.part("progress").hidden = true;
  }

  fail(message, again) {
    this.state("");
    this.part("progress").hidden = true;
    this.part("cancel").hidden = true;
    this.part("retry").hidden = !again;
    let words = this.row.querySelector(".field-error");
    if (!words) {
      words = Object.assign(document.createElement("p"), { className: "field-error col-span-2" });
      words.setAttribute("role", "alert");
      this.row.append(words);
    }
    words.textContent = message;
  }

  succeed(image) {
    this.row.querySelector(".field-error")?.remove();
    this.image = image;
    this.state(text("done"));
    this.part("progress").hidden = true;
    this.part("cancel").hidden = true;
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
    message = JSON.parse(request.responseText).detail.message;
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
    this.waiting.push(upload);
    this.next();
  }

  async next() {
    if (this.running >= this.parallel || !this.waiting.length) return;
    const upload = this.waiting.shift();
    if (!upload.cancelled) {
      this.running += 1;
      await upload.run();
      this.running -= 1;
      if (upload.image) {
        this.done += 1;
        document.getElementById("uploads-status").textContent = text("all_done", { count: this.done });
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
  const form = document.querySelector("form[data-upload]");
  const input = document.getElementById("file");
  if (!form || !input) return;
  const queue = new Queue(Number(form.dataset.parallel));
  const list = document.getElementById("upload-list");

  const take = (files) => {
    for (const file of files) {
      const upload = new Upload(file, form);
      list.prepend(upload.row);
      queue.add(upload);
    }
    document.getElementById("uploads").hidden = false;
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
  setUpRemembered();
  addEventListener("beforeunload", (event) => {
    if (queue.running) event.preventDefault();
  });
};

