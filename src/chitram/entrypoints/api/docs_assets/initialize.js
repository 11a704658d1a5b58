// A file of its own, because our Content-Security-Policy allows no inline script.
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  // Nothing is sent to a validator on a foreign host.
  validatorUrl: null,
});
