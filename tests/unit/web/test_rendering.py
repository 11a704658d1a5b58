"""Pages out of templates: what is the same on all of them is made once."""

import json

from chitram.entrypoints.web.catalogue import Catalogue
from chitram.entrypoints.web.rendering import Pages
from chitram.entrypoints.web.static_files import StaticFiles

ERROR = {
    "user": None,
    "registration": "open",
    "csrf_token": "",
    "current": "",
    "notices": (),
    "status": 404,
    "title": "Title",
    "sentences": {"message": "Message."},
    "retry_path": None,
    "offer_login": False,
    "path": "/",
}


class Counting(Catalogue):
    """Notes how often the scripts' texts are asked for."""

    asked = 0

    def for_scripts(self):
        self.asked += 1
        return {"copied": "</script><b>'&", "and": "\u2028"}


def test_the_texts_of_scripts_are_made_once_and_end_no_script():
    texts = Counting()
    pages = Pages(static=StaticFiles(), texts=texts)
    shown = [pages.render("pages/error.html", **ERROR) for _ in range(3)]
    assert texts.asked == 1
    assert shown[0] == shown[1] == shown[2]
    (_, _, rest) = shown[0].partition('id="texts">')
    told, _, _ = rest.partition("</script>")
    assert json.loads(told) == texts.for_scripts()
    assert not set("<>&'") & set(told)
