"use strict";
(function () {
  var box = document.getElementById("filter");
  var shown = document.getElementById("shown");
  var rows = Array.prototype.slice.call(document.querySelectorAll("table.sequences tbody tr"));
  if (!box || !rows.length) { return; }
  var texts = rows.map(function (row) { return row.textContent.toLowerCase(); });
  function apply() {
    var words = box.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    var count = 0;
    rows.forEach(function (row, index) {
      row.hidden = !words.every(function (word) { return texts[index].indexOf(word) >= 0; });
      if (!row.hidden) { count += 1; }
    });
    shown.textContent = count + " of " + rows.length;
  }
  box.closest(".filter").hidden = false;
  box.addEventListener("input", apply);
  apply();
})();
