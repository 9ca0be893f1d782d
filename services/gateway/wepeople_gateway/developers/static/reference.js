window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#content",
  deepLinking: true,
  validatorUrl: null,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: false,
});
