"use strict";
// Tables of class `sorted` are sorted by the column whose name is clicked; a cell may say in `data-key` what it sorts by.
Array.prototype.forEach.call(document.querySelectorAll("table.sorted"), function (table) {
  var heads = Array.prototype.slice.call(table.tHead.rows[0].cells), body = table.tBodies[0];
  var rows = Array.prototype.slice.call(body.rows);

  function key(row, column) {
    var cell = row.cells[column], text = cell.getAttribute("data-key");
    if (text === null) { text = cell.textContent.trim(); }
    return text === "" || text === "–" ? null : isNaN(text) ? text.toLowerCase() : Number(text);
  }

  function compare(a, b) {
    return typeof a === "string" && typeof b === "string" ? a.localeCompare(b, undefined, { numeric: true })
      : typeof a === typeof b ? a - b : typeof a === "number" ? -1 : 1;
  }

  // What is missing stays last in both directions; equal rows keep the order of the page.
  function sort(column, direction) {
    rows.map(function (row, place) { return { row: row, place: place, key: key(row, column) }; }).sort(function (a, b) {
      if (a.key === null || b.key === null) { return (a.key === null) - (b.key === null) || a.place - b.place; }
      return direction * compare(a.key, b.key) || a.place - b.place;
    }).forEach(function (item) { body.appendChild(item.row); });
  }

  heads.forEach(function (head, column) {
    var button = document.createElement("button"), was;
    button.type = "button";
    while (head.firstChild) { button.appendChild(head.firstChild); }
    head.appendChild(button);
    button.addEventListener("click", function () {
      was = head.getAttribute("aria-sort");
      heads.forEach(function (one) { one.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", was === "ascending" ? "descending" : "ascending");
      sort(column, was === "ascending" ? -1 : 1);
    });
  });
});
