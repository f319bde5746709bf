"""Contact sheets of the posed face."""


def test_the_contact_sheets_show_every_unit_and_expression():
    from fer_batch.posed import sheet as posed_sheet

    assert posed_sheet.au_sheet().shape == (8 * 132, 8 * 132, 3)
    assert posed_sheet.expression_sheet().shape == (6 * 160, 6 * 160, 3)
    assert posed_sheet.main([]) == 1
