(function () {
  "use strict";
  function find(id) { return document.getElementById(id); }
  function list(inside, selector) { return Array.prototype.slice.call(inside.querySelectorAll(selector)); }
  var form = find("filter");
  var text = find("f-text");
  var names = ["district", "assessment", "report", "status"];
  var chosen = names.map(function (name) { return find("f-" + name); });
  var rows = list(document, "[data-status]");
  var said = rows.map(function (row) {
    var section = row.closest("section");
    var shared = section.querySelector("h2");
    return (row.textContent + (shared ? " " + shared.textContent : "")).toLowerCase();
  });
  var sections = list(document, "section");
  var folded = find("withheld");
  function fits(row, place, words) {
    return words.every(function (word) { return said[place].indexOf(word) >= 0; }) &&
      names.every(function (name, n) {
        return !chosen[n].value || row.dataset[name].split(" ").indexOf(chosen[n].value) >= 0;
      });
  }
  function show() {
    var words = text.value.toLowerCase().split(/\s+/);
    var narrowed = text.value || chosen.some(function (one) { return one.value; });
    var shown = rows.filter(function (row, place) { return !(row.hidden = !fits(row, place, words)); });
    find("f-count").textContent = shown.length;
    find("none").hidden = shown.length > 0;
    sections.forEach(function (section) { section.hidden = !section.querySelector("li:not([hidden])"); });
    if (!folded) { return; }
    var few = list(folded, "li:not([hidden])").length;
    find("w-count").textContent = few;
    folded.hidden = !few;
    if (narrowed && few && few === shown.length) { folded.open = true; }
  }
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  form.addEventListener("input", show);
  form.addEventListener("reset", function () { setTimeout(show); });
  form.hidden = false;
  show();
})();
