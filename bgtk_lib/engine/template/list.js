(function () {
  "use strict";
  var form = document.getElementById("filter");
  var text = document.getElementById("f-text");
  var report = document.getElementById("f-report");
  var status = document.getElementById("f-status");
  var count = document.getElementById("f-count");
  var rows = Array.prototype.slice.call(document.querySelectorAll(".reports > li"));
  function show() {
    var words = text.value.toLowerCase().split(/\s+/);
    var shown = 0;
    rows.forEach(function (row) {
      var said = row.textContent.toLowerCase();
      var fits = words.every(function (word) { return said.indexOf(word) >= 0; }) &&
        (!report.value || row.dataset.report === report.value) &&
        (!status.value || row.dataset.status === status.value);
      row.hidden = !fits;
      shown += fits ? 1 : 0;
    });
    count.textContent = shown;
  }
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  form.addEventListener("input", show);
  form.hidden = false;
  show();
})();
