"""Texts of people who mean ill. Wherever one became more than a text, the browser would have something to tell.

What they bring in has an attribute `canary`, asks for `/canary`, or calls `canary()`, which makes a dialogue appear.
"""

#: Tags and handlers, each where another context has to be left first.
MARKUP = (
    "<script canary>canary()</script>",
    '"><script canary>canary()</script>',
    "'><script canary>canary()</script>",
    "</title><script canary>canary()</script>",
    "</textarea><script canary>canary()</script>",
    "</script><script canary>canary()</script>",
    "</template><img canary src=/canary onerror=canary()>",
    "--><img canary src=/canary onerror=canary()><!--",
    "]]><img canary src=/canary onerror=canary()>",
    "<img canary src=/canary onerror=canary()>",
    "<img canary src=//canary.example/x>",
    "<svg canary><script>canary()</script></svg>",
    "<svg/onload=canary() canary>",
    "<math canary><mtext><img src=/canary onerror=canary()></mtext></math>",
    "<iframe canary srcdoc='<script>parent.canary()</script>'></iframe>",
    '<iframe canary src="javascript:parent.canary()">',
    "<object canary data=/canary></object><embed canary src=/canary>",
    "<form canary action=/canary><button formaction=/canary>",
    "<base canary href=//canary.example/>",
    "<meta canary http-equiv=refresh content='0;url=/canary'>",
    "<link canary rel=stylesheet href=/canary>",
    "<style canary>@import '/canary';</style>",
    "<details canary open ontoggle=canary()>",
    "<input canary autofocus onfocus=canary()>",
    "<a canary href=javascript:canary()>x</a>",
    "<noscript><p title='</noscript><img canary src=/canary>'>",
    "<plaintext canary>",
    "<!DOCTYPE canary [<!ENTITY x SYSTEM '/canary'>]>&x;",
    "<xmp canary></xmp><listing canary>",
)
#: Out of an attribute without any tag.
ATTRIBUTES = (
    '" onmouseover="canary()" canary="',
    "' onfocus='canary()' autofocus canary='",
    "` onerror=canary() canary=`",
    '" srcdoc="<script>canary()</script>" canary="',
    '" style="background:url(/canary)" canary="',
    '" hx-get="/canary" hx-trigger="load" canary="',
    '" hx-on::load="canary()" hx-vals="js:{x:canary()}" canary="',
    '" data-hx-post="/canary" data-hx-trigger="load" canary="',
    '" data-placeholder="canary" data-copy="canary" canary="',
    '"}\' hx-headers=\'{"canary": "x"}\' canary=\'',
)
#: Addresses, templates, scripts' and other contexts, and what is decoded twice.
OTHERS = (
    "javascript:canary()//",
    "data:text/html,<script canary>canary()</script>",
    "/canary 2x, /canary",
    "//canary.example/\\..\\canary",
    "{{7*7}}{% include '/etc/passwd' %}${7*7}#{7*7}<%= 7*7 %>",
    "{0.__class__} {name} %s %(canary)s {{name}}",
    "';canary();//\";canary();//`;canary();//${canary()}",
    '\\"; canary(); //',
    "\\u003cscript canary\\u003ecanary()\\u003c/script\\u003e",
    "&lt;img canary src=/canary&gt; &amp;lt;script&amp;gt; &#60;img canary&#62;",
    "&quot; onload=&quot;canary()&quot; canary=&quot;",
    "%3Cscript%20canary%3Ecanary()%3C/script%3E %22%3E %",
    "＜script canary＞canary()＜/script＞ ‹img›",
    "[x](javascript:canary()) ![x](/canary) <javascript:canary()> ](/canary)",
    "[img]/canary[/img][url=javascript:canary()]x[/url]",
    "](//canary.example) \n\n# canary\n\n<img canary src=/canary>",
    '=HYPERLINK("//canary.example") | \' or 1=1 --',
    "\u202egpj.exe\u2066 \u200f<img canary>\u2069",
    "a\u0000b\u0001c\u0008d\u001be\u007ff\u0085g\u2028h\u2029i\ufeff",
    "\r\nSet-Cookie: canary=1\r\n\r\n<script canary>canary()</script>",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b" * 15,
    "చిత్రం \U0001f468\u200d\U0001f469\u200d\U0001f467 \u0644\u0644\u0635\u0628\u0644\u0648",
)
PAYLOADS = MARKUP + ATTRIBUTES + OTHERS
#: What the local part of an e-mail address may be made of.
LOCAL_PART = "a'{{7*7}}${canary}'&canary=`|%00/*#*/"
#: All at once, in a text of several lines.
EVERYTHING = "\n".join(PAYLOADS)
