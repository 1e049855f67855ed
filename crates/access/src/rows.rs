//! Rows of text cells, as a target tells them.

/// Rows of text cells that are read once and then let go: one text for all of them. Cells by themselves would be many small
/// pieces of memory, between which lies what is kept of them, so that an allocator could give none of it back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    text: String,
    /// Where each cell begins in the text, twice that number, and one more where it is NULL.
    cells: Vec<usize>,
    /// The first cell of each row.
    rows: Vec<usize>,
}

/// One of [`Rows`].
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    of: &'a Rows,
    first: usize,
    end: usize,
}

impl Rows {
    /// Begin a row.
    pub fn row(&mut self) {
        self.rows.push(self.cells.len());
    }

    /// The next cell of the row that was begun last; `None` for NULL.
    pub fn cell(&mut self, cell: Option<&str>) {
        self.cells.push(self.text.len() * 2 + usize::from(cell.is_none()));
        self.text.push_str(cell.unwrap_or_default());
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// In their order.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        let ends = self.rows.iter().skip(1).copied().chain([self.cells.len()]);
        self.rows.iter().zip(ends).map(|(first, end)| Row { of: self, first: *first, end })
    }

    /// Each cell by itself.
    #[must_use]
    pub fn to_cells(&self) -> Vec<Vec<Option<String>>> {
        self.iter().map(|row| row.cells().map(|cell| cell.map(str::to_owned)).collect()).collect()
    }
}

impl<'a> Row<'a> {
    /// The cell at a place; `None` for NULL, and beyond the row's end.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&'a str> {
        let at = self.first.checked_add(place).filter(|at| *at < self.end)?;
        let begin = *self.of.cells.get(at)?;
        let end = self.of.cells.get(at + 1).map_or(self.of.text.len(), |next| next / 2);
        if begin % 2 == 1 { None } else { self.of.text.get(begin / 2..end) }
    }

    /// All cells, `None` for NULL.
    pub fn cells(self) -> impl Iterator<Item = Option<&'a str>> {
        (0..self.end.saturating_sub(self.first)).map(move |place| self.get(place))
    }
}

impl FromIterator<Vec<Option<String>>> for Rows {
    fn from_iter<T: IntoIterator<Item = Vec<Option<String>>>>(rows: T) -> Self {
        let mut all = Self::default();
        for row in rows {
            all.row();
            row.iter().for_each(|cell| all.cell(cell.as_deref()));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_come_back_as_they_were() {
        let cell = |text: &str| Some(text.to_owned());
        let all = vec![
            vec![cell("one"), None, cell(""), cell("ü")],
            vec![],
            vec![None],
            vec![cell("last"), cell("of all"), None],
        ];
        let rows: Rows = all.iter().cloned().collect();
        assert_eq!(rows.to_cells(), all);
        let first = rows.iter().next().unwrap();
        assert_eq!((first.get(0), first.get(1), first.get(2)), (Some("one"), None, Some("")));
        assert_eq!((first.get(3), first.get(4), first.get(usize::MAX)), (Some("ü"), None, None));
        assert_eq!(rows.iter().last().unwrap().get(1), Some("of all"));
        assert!(Rows::default().iter().next().is_none() && Rows::default().is_empty());
        assert_eq!(rows.len(), all.len());
    }
}
