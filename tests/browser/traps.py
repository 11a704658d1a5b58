"""What catches a text that became more than a text."""

from urllib.parse import urlsplit

from playwright.sync_api import Dialog, Request

from tests.browser.people import Visitor

#: Elements and attributes that are none of ours, in a document whose address is `home`.
UNWANTED = """(root, home) => {
  const origin = new URL(home).origin;
  const strange = "iframe, frame, object, embed, base, style, math, plaintext, xmp, listing, noscript, canary, "
    + "[canary], [srcdoc], [formaction], [autofocus], meta[http-equiv], svg script, svg foreignObject";
  const addresses = { href: 1, src: 1, action: 1, data: 1, poster: 1, "hx-get": 1, "hx-post": 1, "xlink:href": 1 };
  const own = (element, value) => {
    if (value.startsWith("data:")) return element.matches("img[src^='data:image/'], a[download], link[rel=icon]");
    const address = new URL(value, home);
    return address.protocol === "blob:" || (address.origin === origin && !address.pathname.startsWith("/canary"));
  };
  const wrong = (element) => element.matches(strange)
    || (element.matches("script:not([type='application/json'])") && !element.src.startsWith(`${origin}/static/`))
    || (element.hasAttribute("style") && !element.matches("[data-placeholder], .zoom img, .zoom-stage"))
    || [...element.attributes].some(({ name, value }) => name.startsWith("on") || name.includes("canary")
        || /^(data-)?hx-on/.test(name) || (addresses[name] && !own(element, value)));
  return [...root.querySelectorAll("*")].filter(wrong).map((element) => element.outerHTML.slice(0, 200));
}"""

#: A page as its elements with the names of their attributes, which no text changes. Placeholders have styles at first.
SKELETON = """() => [...document.querySelectorAll("*")].map((element) =>
  `${element.localName} ${element.getAttributeNames().filter((name) => name !== "style").sort()}`)"""

_CANARY = "window.canary = () => alert('canary')"


def set_traps(visitor: Visitor) -> None:
    """Have the visitor complain of every script that runs and everything that is asked for because of a text."""

    def speak(dialog: Dialog) -> None:
        visitor.complaints.append(f"dialogue: {dialog.message}")
        dialog.dismiss()

    def ask(request: Request) -> None:
        if urlsplit(request.url).path.startswith("/canary"):
            visitor.complaints.append(f"asked for {request.url}")

    visitor.page.add_init_script(_CANARY)
    visitor.page.on("dialog", speak)
    visitor.page.on("request", ask)


def unwanted(visitor: Visitor) -> list[str]:
    """What stands on the page, or was said by it, that a text brought in."""
    found: list[str] = visitor.page.evaluate(f"() => ({UNWANTED})(document, location.href)")
    return found + visitor.complaints
